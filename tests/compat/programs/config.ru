# An application that says hello, for Rack servers.
run ->(_env) { [200, { 'Content-Type' => 'text/plain', 'Content-Length' => '6' }, ["hello\n"]] }
