# WEBrick: hello.rb PORT.
require 'webrick'
server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: Integer(ARGV[0]), AccessLog: [])
server.mount_proc('/') { |_request, response| response.body = "hello\n" }
trap('TERM') { server.shutdown }
server.start
