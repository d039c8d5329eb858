package logs

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestQueueWaits has a writer that takes something only when it is let.
func TestQueueWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		written := ""
		q := newQueue(4, func(text []byte, _, _ int) {
			<-let
			written += string(text)
		})
		q.put([]byte("taken"), 1)
		synctest.Wait() // it is in the writer's hands
		q.put([]byte("waits"), 1)

		begun := time.Now()
		time.AfterFunc(time.Minute, func() { let <- struct{}{} })
		q.await(time.Hour)
		if waited := time.Since(begun); waited != time.Minute {
			t.Errorf("for room it waited %v, and there was some after a minute", waited)
		}
		synctest.Wait()
		q.put([]byte("again"), 1)
		begun = time.Now()
		q.await(time.Second)
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("its patience was %v", waited)
		}
		q.await(time.Second)
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("it waited again, in all for %v", waited)
		}
		q.put([]byte("lost"), 3)
		close(let)
		if !q.close(time.Second) || written != "takenwaitsagain" || q.lost() != 3 {
			t.Errorf("written is %q, lost are %d", written, q.lost())
		}
	})
}
