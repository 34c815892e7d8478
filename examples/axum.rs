//! Serves a router of axum with the library, so that it stops without failing a request.
fn main() {}
