// Command simple-webapp is a web service to try the load balancer with: it answers with
// its name and with what was asked.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	listen := flag.String("listen", ":8000", "`address` to listen on")
	name := flag.String("name", defaultName(), "what it calls itself")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: %s %s\n", *name, r.Method, r.URL.Path)
	})))
}

// defaultName is the Marathon app that this is an instance of, or else the host's name.
func defaultName() string {
	if id := os.Getenv("MARATHON_APP_ID"); id != "" {
		return id
	}
	name, err := os.Hostname()
	if err != nil {
		return "simple-webapp"
	}
	return name
}
