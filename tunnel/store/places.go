package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"

	"panteras/tunnel"
)

// largestPlaces is how many bytes of JSON the places of a gateway may have; ten thousand
// peers have half a megabyte.
const largestPlaces = 16 << 20

// PublishPlaces implements [tunnel.PlaceStore].
func (s *Store) PublishPlaces(ctx context.Context, gateway string, places tunnel.Places) error {
	if err := tunnel.CheckGatewayName(gateway); err != nil {
		return err
	}
	return s.put(ctx, placesKey(gateway), encodePlaces(places))
}

// WatchPlaces implements [tunnel.PlaceStore].
func (s *Store) WatchPlaces(ctx context.Context, seen func(map[string]tunnel.Places, error)) {
	s.kv.watch(ctx, placesPrefix, func(v view, err error) {
		if err != nil {
			seen(nil, err)
			return
		}
		all := make(map[string]tunnel.Places, len(v.entries))
		for key, e := range v.entries {
			if places, err := decodePlaces(e.value); err == nil {
				all[nameIn(placesPrefix, key)] = places
			}
		}
		seen(all, nil)
	})
}

// encodePlaces compresses them, into a text of JSON as all entries are, because Consul takes 512 kB: addresses of one network
// become a third.
func encodePlaces(places tunnel.Places) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(encode(places)) // a buffer takes everything
	_ = w.Close()
	return encode(b.Bytes())
}

func decodePlaces(value []byte) (tunnel.Places, error) {
	var compressed []byte
	if err := decode(value, &compressed); err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, largestPlaces))
	if err != nil {
		return nil, err
	}
	var places tunnel.Places
	return places, decode(text, &places)
}
