package wire

// Trim leaves the last records of Consul's answer out, without TC as Consul itself does, where Consul filled the client's size and what comes from
// us on top would not fit: the OPT that Consul drops when it trims, and a name longer than the one that was asked. What was more than the client's size
// before is no answer of a Consul, and left to Rewrite.
func Trim(m []byte, q *Query, mp *Mapping, limit int) []byte {
	longer := 0
	if mp.To != nil {
		longer = mp.FromLen - len(mp.To)
	}
	qend := q.QEnd() - longer
	if qdcount(m) == 0 || len(m) > limit || len(m)+longer+optFixed <= limit {
		return m
	}
	s, ok := split(m, qend)
	if !ok {
		return m
	}
	room := limit - longer
	if q.HasOPT() {
		room -= max(s.optEnd-s.opt, optFixed)
	}
	if s.an <= room {
		return m
	}
	keep, off := 0, qend
	for {
		r, ok := readRR(m, off)
		if !ok || r.end > room {
			break
		}
		off = r.end
		keep++
	}
	setCounts(m, 1, keep, 0, 0)
	return m[:off]
}
