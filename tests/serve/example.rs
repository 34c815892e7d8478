//! The example for axum is a program that drains as it should.
