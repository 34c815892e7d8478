//! PARSES a dotenv file, in a dialect that changes no value: what is written is what the program gets. Pure.
//!
//! What Docker's `--env-file` and Compose's `env_file` agree on is read as they read it. Compose also expands `$NAME`, which Docker does not:
//! here a `$` is a `$`.

use std::fmt;

/// What editors on Windows put before a text in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that is none of the dialect. Never holds a part of the text, which may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// Its number, from 1; of a value over several lines the first one's.
    pub line: usize,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no `=` in it.
    NoPair,
    /// There is nothing before the `=`.
    NoName,
    /// Its name holds a space or a quote.
    Name,
    /// It is no UTF-8.
    Text,
    /// The quote that begins its value is not closed.
    Open,
    /// Something follows the quote that closes its value.
    Rest,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::NoPair => "is no NAME=value",
            Why::NoName => "has no name before the =",
            Why::Name => "has a space or a quote in its name",
            Why::Text => "is not UTF-8",
            Why::Open => "begins a value with a quote that is not closed",
            Why::Rest => "has text after the quote that closes its value: put all of it into the quotes, or none",
        };
        write!(f, "line {} {why}", self.line)
    }
}

/// The variables of the text, in its order, and the lines that are none.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Result<(String, String), Wrong>> {
    let mut lines = Lines {
        rest: text.strip_prefix(MARK).unwrap_or(text),
        number: 0,
    };
    std::iter::from_fn(move || lines.entry())
}

struct Lines<'a> {
    rest: &'a [u8],
    /// Of the line that was taken last.
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = end.map_or((self.rest, &[][..]), |end| {
            let (line, rest) = self.rest.split_at(end);
            (line, rest.strip_prefix(b"\n").unwrap_or(rest))
        });
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn entry(&mut self) -> Option<Result<(String, String), Wrong>> {
        loop {
            // Spaces at its end may belong to a quoted value.
            let line = self.next()?.trim_ascii_start();
            if !line.is_empty() && !line.starts_with(b"#") {
                let number = self.number;
                return Some(self.pair(line).map_err(|why| Wrong { line: number, why }));
            }
        }
    }

    fn pair(&mut self, line: &'a [u8]) -> Result<(String, String), Why> {
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(Why::NoPair)?;
        let (name, value) = line.split_at(equals);
        let all = value.strip_prefix(b"=").unwrap_or(value);
        let value = all.trim_ascii_start();
        let exported = name
            .strip_prefix(b"export")
            .filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"));
        let name = exported.unwrap_or(name).trim_ascii();
        // A value goes on in the next lines if it is quoted, whatever is wrong with its name.
        let value = match value.first() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(*quote, value.get(1..).unwrap_or_default())?,
            Some(_) | None => unquoted(all).to_vec(),
        };
        if name.is_empty() {
            return Err(Why::NoName);
        }
        if name
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'"' | b'`'))
        {
            return Err(Why::Name);
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| Why::Text);
        Ok((text(name.to_vec())?, text(value)?))
    }

    /// What is in quotes, which may be more lines. Without a closing quote, only this line is wrong, and the next ones are read.
    fn quoted(&mut self, quote: u8, begin: &'a [u8]) -> Result<Vec<u8>, Why> {
        let (rest, number) = (self.rest, self.number);
        let (mut line, mut value) = (begin, Vec::new());
        loop {
            if let Some(after) = take(quote, line, &mut value) {
                let after = after.trim_ascii();
                return if after.is_empty() || after.starts_with(b"#") {
                    Ok(value)
                } else {
                    Err(Why::Rest)
                };
            }
            value.push(b'\n');
            let Some(next) = self.next() else {
                (self.rest, self.number) = (rest, number);
                return Err(Why::Open);
            };
            line = next;
        }
    }
}

/// A comment begins with a `#` after a space: one right behind the `=` belongs to the value.
fn unquoted(value: &[u8]) -> &[u8] {
    let spaced = |pair: &[u8]| matches!(pair, [b' ' | b'\t', b'#']);
    let comment = value.windows(2).position(spaced);
    comment.and_then(|at| value.get(..at)).unwrap_or(value).trim_ascii()
}

/// Takes from a line up to the closing quote: what follows that, or `None` if the value goes on in the next line.
fn take<'a>(quote: u8, line: &'a [u8], value: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = line;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == quote {
            return Some(rest);
        }
        let escaped = rest.first().filter(|_| quote == b'"' && *byte == b'\\');
        let meant = escaped.and_then(|it| match it {
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'"' | b'\\' | b'$' => Some(*it),
            // Any other stays what it is, with its backslash.
            _ => None,
        });
        value.push(meant.unwrap_or(*byte));
        if meant.is_some() {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Result<String, String>> {
        let all = parse(text.as_bytes());
        all.map(|it| {
            it.map(|(name, value)| format!("{name}={value}"))
                .map_err(|it| it.to_string())
        })
        .collect()
    }

    fn one(line: &str) -> String {
        values(line).remove(0).unwrap()
    }

    #[test]
    fn a_value_is_what_is_written() {
        for value in [
            "p4$$w0rd",
            "x$y",
            "a$",
            "x$9",
            "$HOME",
            "${NOPE}z",
            "{\"k\":\"v\"}",
            "x#y",
            "x;y",
            "a\\b",
            "x y",
            "a'b",
            "a=b=c",
            "",
        ] {
            assert_eq!(one(&format!("A={value}")), format!("A={value}"));
            let around = format!("\u{feff}  export A =  {value}  # comment\r\n");
            assert_eq!(one(&around), format!("A={value}"), "{around:?}");
            if !value.contains('\'') {
                assert_eq!(one(&format!("A='{value}'")), format!("A={value}"));
            }
            if !value.contains('"') && !value.contains('\\') {
                assert_eq!(one(&format!("A=\"{value}\"  # comment")), format!("A={value}"));
            }
        }
    }

    #[test]
    fn a_password_may_begin_with_what_begins_a_comment() {
        for (line, value) in [
            ("A=#x", "#x"),
            ("A=#x #y", "#x"),
            ("A= #x", ""),
            ("A=x# y", "x# y"),
            ("A='#x'", "#x"),
        ] {
            assert_eq!(one(line), format!("A={value}"), "{line}");
        }
    }

    #[test]
    fn double_quotes_know_escapes_and_single_ones_none() {
        for (line, value) in [
            (r#"A="tab\there""#, "tab\there"),
            (r#"A="a\nb\r\\\"\$x""#, "a\nb\r\\\"$x"),
            (r#"A="a\b\x""#, r"a\b\x"),
            (r"A='a\nb'", r"a\nb"),
            ("A=' a # b '", " a # b "),
            ("A=\"\"", ""),
            ("A=", ""),
            ("A=\"one\ntwo # three\n\" # comment", "one\ntwo # three\n"),
            ("A='one\r\ntwo'", "one\ntwo"),
            ("A='one  \n  two' ", "one  \n  two"),
        ] {
            assert_eq!(one(line), format!("A={value}"), "{line:?}");
        }
    }

    #[test]
    fn every_wrong_line_has_its_number_and_what_is_wrong() {
        let text = "C=\"a\nb\nc\"\nno\n=x\nMY NAME=x\nA='x' y\nB=2\nD=\"open\nE=3\n";
        let lines = values(text);
        assert_eq!(
            lines,
            [
                Ok("C=a\nb\nc".to_owned()),
                Err("line 4 is no NAME=value".into()),
                Err("line 5 has no name before the =".into()),
                Err("line 6 has a space or a quote in its name".into()),
                Err(
                    "line 7 has text after the quote that closes its value: put all of it into the quotes, or none"
                        .into()
                ),
                Ok("B=2".into()),
                Err("line 9 begins a value with a quote that is not closed".into()),
                Ok("E=3".into()),
            ]
        );
        let mut read = parse(b"A=1\n# caf\xe9\nB=caf\xe9\nC=2");
        assert_eq!(read.next(), Some(Ok(("A".into(), "1".into()))));
        let why = Why::Text;
        assert_eq!(read.next(), Some(Err(Wrong { line: 3, why })));
        assert_eq!(read.next(), Some(Ok(("C".into(), "2".into()))));
        assert_eq!(read.next(), None);
    }
}
