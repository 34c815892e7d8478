# An application that says hello, for PSGI servers.
sub { [200, ['Content-Type' => 'text/plain', 'Content-Length' => 6], ["hello\n"]] };
