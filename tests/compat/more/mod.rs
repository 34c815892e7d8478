//! Rows of larger packages, of slower starts, and second shapes of quick ones.

mod dns;
mod later;
mod python;
mod python_web;
mod runtimes;
mod scripts;
mod services;
mod stateful;
mod web;
