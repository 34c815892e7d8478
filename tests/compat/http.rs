//! HTTP/1.1 as a client that believes nothing: status, length, chunks and body of every answer are checked.

use crate::{connection::Connection, tally::Failure};

/// Sends a GET, and reads all of its answer; the body, and whether the connection stays open.
pub fn get(connection: &mut Connection, target: &str, last: bool) -> Result<(Vec<u8>, bool), Failure> {
    let end = if last { "Connection: close\r\n" } else { "" };
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{end}\r\n");
    connection.send(request.as_bytes())?;
    let status = connection.line()?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(Failure::Wrong(status));
    }
    let head = Head::read(connection, status.starts_with("HTTP/1.0"))?;
    let body = match head.length {
        Length::Known(length) => connection.exactly(length)?,
        Length::Chunks => chunks(connection)?,
        Length::ToTheEnd => connection.rest()?,
    };
    Ok((body, !head.last && head.length != Length::ToTheEnd))
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunks,
    ToTheEnd,
}

struct Head {
    length: Length,
    last: bool,
}

impl Head {
    fn read(connection: &mut Connection, old: bool) -> Result<Head, Failure> {
        let mut head = Head {
            length: Length::ToTheEnd,
            last: old,
        };
        loop {
            let line = connection.line()?.trim().to_ascii_lowercase();
            if line.is_empty() {
                return Ok(head);
            }
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => {
                    let length = value.parse().map_err(|_| Failure::Wrong(line.clone()))?;
                    head.length = Length::Known(length);
                }
                Some(("transfer-encoding", "chunked")) => head.length = Length::Chunks,
                Some(("connection", "close")) => head.last = true,
                Some(("connection", "keep-alive")) => head.last = false,
                Some(_) => {}
                None => return Err(Failure::Wrong(line)),
            }
        }
    }
}

fn chunks(connection: &mut Connection) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let line = connection.line()?;
        let size = line.trim().split(';').next().unwrap_or("");
        let size = usize::from_str_radix(size, 16).map_err(|_| Failure::Wrong(line.clone()))?;
        body.extend(connection.exactly(size)?);
        let end = connection.line()?;
        if end.trim() != "" {
            return Err(Failure::Wrong(end));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}
