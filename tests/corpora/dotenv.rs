//! What holds for every text of a dotenv file.

use segue::runtime::environment::{dotenv, longest};

/// A variable, or the number of a line that says none.
type Said = Result<(String, String), usize>;

/// What editors on Windows put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A text says some variables, or the number of a line that says none; small things around it change nothing.
pub fn check(bytes: &[u8]) {
    let read = read(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for variable in &read {
        match variable {
            Ok((name, value)) => {
                let may_begin = |it: char| it.is_ascii_alphabetic() || it == '_';
                assert!(name.starts_with(may_begin), "{name:?}");
                let may_follow = |it: char| it.is_ascii_alphanumeric() || "_.".contains(it);
                assert!(name.chars().all(may_follow), "{name:?}");
                assert!(value.len() <= bytes.len() || bytes.contains(&b'$'), "{value:?}");
            }
            Err(line) => assert!(
                (1..=lines).contains(line),
                "line {line} of {lines}: {:?}",
                String::from_utf8_lossy(bytes)
            ),
        }
    }
    let said = |it: &[Said]| -> Vec<Option<(String, String)>> { it.iter().map(|it| it.clone().ok()).collect() };
    let same = |parts: &[&[u8]], why: &str| assert_eq!(said(&self::read(&parts.concat())), said(&read), "{why}");
    if !bytes.starts_with(MARK) {
        same(&[MARK, bytes], "a mark before it");
        same(&[b"# a comment\n\n", bytes], "a comment before it");
    }
    if read.iter().all(is_whole) {
        same(&[bytes, b"\n"], "an end of the last line");
        same(&[bytes, b"\n# the end"], "a comment behind it");
        again(&read);
    }
}

fn is_whole(said: &Said) -> bool {
    let is_short = |(name, value): &(String, String)| name.len() + value.len() <= longest();
    said.as_ref().is_ok_and(is_short)
}

/// As far as segue reads: to the first fault, or to what is too long for any program.
fn read(text: &[u8]) -> Vec<Said> {
    let mut read = Vec::new();
    for said in dotenv(text) {
        let goes_on = is_whole(&said);
        read.push(said);
        if !goes_on {
            break;
        }
    }
    read
}

/// What it says can be said in quotes, and is read as the same.
fn again(read: &[Said]) {
    let variables = read.iter().flatten().filter(|it| !it.1.contains(['\'', '\\']));
    let variables: Vec<(String, String)> = variables.cloned().collect();
    let line = |(name, value): &(String, String)| format!("export {name} = '{value}' # said again\r\n");
    let text: String = variables.iter().map(line).collect();
    let told: Vec<(String, String)> = dotenv(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert_eq!(told, variables, "{text:?}");
}
