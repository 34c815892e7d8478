//! What holds for every line of the control protocol.

use segue::control::protocol::{answer, answer_line, request, request_line};

/// A request and an answer are understood or refused in one line; what is understood is said again in the same words.
pub fn check(bytes: &[u8]) {
    match request(bytes) {
        Ok(command) => assert_eq!(request(request_line(&command).as_bytes()), Ok(command)),
        Err(why) => assert!(!why.is_empty()),
    }
    if let Ok(heard) = answer(bytes) {
        let line = answer_line(&heard);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        // Times are told to the millisecond: what was told once stays as it is.
        let again = answer(line.as_bytes()).unwrap();
        assert_eq!(answer_line(&again), line);
    }
}
