# An application of Mojolicious.
use Mojolicious::Lite;
get '/' => sub { shift->render(text => "hello\n") };
app->log->level('error');
app->start;
