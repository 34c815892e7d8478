//! The binary; everything is in the library.
//!
//! It has a C main, because std's own runtime ignores SIGPIPE and opens closed standard streams before `main`, and the
//! program is to get both exactly as segue got them.
#![no_main]
#![expect(unsafe_code, reason = "the C runtime calls main by its name")]

use std::ffi::{c_char, c_int};

// SAFETY: it is the `main` that the C runtime looks for, with the arguments that it passes.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    segue::cli::main().into()
}
