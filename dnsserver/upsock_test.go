package dnsserver

import "testing"

// However many queries were given up at once, their answers are late and not forged; what was never asked is.
func TestAllIDsOfASocketAreRemembered(t *testing.T) {
	t.Parallel()
	s := upSocket{st: new(upState), used: new([1 << 16 / 64]uint64)}
	for i := range socketUses {
		s.use(uint16(i * 7))
	}
	for range socketUses {
		s.forget()
	}
	for id := range 1 << 16 {
		if want := id%7 == 0 && id/7 < socketUses; s.late(uint16(id)) != want {
			t.Fatalf("id %d: late is %v, want %v", id, !want, want)
		}
	}
	if s.pending != 0 || s.st.waiting != 0 {
		t.Errorf("%d pending, %d waited for", s.pending, s.st.waiting)
	}
}
