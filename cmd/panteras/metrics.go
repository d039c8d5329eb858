package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"panteras/configs"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveMetrics serves Prometheus where a setting says; "" serves nothing. That the default cannot be used is a warning only: the work matters more than figures
// that nobody asked for.
func serveMetrics(setting, listen string, loaded *configs.Loaded, collector prometheus.Collector, log *slog.Logger) (closeAll func(), err error) {
	if listen == "" {
		return func() {}, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	l, err := listenMetrics(listen)
	switch {
	case err == nil:
	case loaded.Given(setting) && !strings.HasPrefix(listen, "unix:"): // which the launcher gives
		return nil, fmt.Errorf("%s: %w", setting, err)
	default:
		log.Warn("no metrics: their address cannot be used; set "+setting, "address", listen, "error", err)
		return func() {}, nil
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	return func() { _ = srv.Close() }, nil
}
