//! ESCAPES text, so that nothing in it is HTML. Pure.

use std::fmt::{Display, Formatter, Result};

/// Text in which nothing is HTML, between tags and in quoted attributes.
#[derive(Debug)]
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        let special = |it: char| matches!(it, '&' | '<' | '>' | '"' | '\'' | '\0');
        for part in self.0.split_inclusive(special) {
            let mut chars = part.chars();
            let escape = match chars.next_back() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\'') => "&#39;",
                Some('\0') => "\u{fffd}",
                Some(_) | None => {
                    to.write_str(part)?;
                    continue;
                }
            };
            to.write_str(chars.as_str())?;
            to.write_str(escape)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Escaped;

    proptest! {
        #[test]
        fn escaped_text_is_no_html_and_says_the_same(text in "[a-c&<>\"'é]{0,20}") {
            let escaped = Escaped(&text).to_string();
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
                .iter()
                .fold(escaped, |text, (escape, char)| text.replace(escape, char));
            prop_assert_eq!(back, text);
        }
    }
}
