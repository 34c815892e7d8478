<?php
// A router for PHP's own server.
header('Content-Length: 6');
echo "hello\n";
