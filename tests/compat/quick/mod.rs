//! Rows of small packages that start at once.

mod python;
mod scripts;
mod services;
mod web;
