//! DNS over TCP: a question for an address, and the check of its answer.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::{connection::Connection, tally::Failure};

/// Asks for the address of a name, which is to be this one.
pub fn ask(connection: &mut Connection, name: &str, address: [u8; 4]) -> Result<(), Failure> {
    static ID: AtomicU16 = AtomicU16::new(1);
    let id = ID.fetch_add(1, Ordering::Relaxed);
    connection.send(&framed(&question(id, name)))?;
    let length = connection.exactly(2)?;
    let length = u16::from_be_bytes([length[0], length[1]]);
    let answer = connection.exactly(usize::from(length))?;
    let wrong = || Err(Failure::Wrong(format!("{answer:02x?}")));
    let Some(head) = answer.get(..12) else { return wrong() };
    let is_answer = head[2] & 0x80 != 0 && head[3] & 0x0f == 0 && head[7] > 0;
    let names_it = answer[12..].windows(4).any(|bytes| bytes == address);
    if head[..2] == id.to_be_bytes() && is_answer && names_it {
        Ok(())
    } else {
        wrong()
    }
}

/// TCP has the length before each message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion desired, one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    // The root, type A, class IN.
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}
