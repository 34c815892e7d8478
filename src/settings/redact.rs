//! HIDES what may be secret in the text of a setting, for places where others than its owner may read it. Pure.

/// What hidden text is shown as.
const HIDDEN: &str = "…";

/// Words of names whose values nobody is shown.
const SECRET: [&str; 6] = ["pass", "secret", "token", "key", "credential", "auth"];

/// The text without what may be secret: what follows a `?` in a URL, and the value of a word such as `--token=x`, `TOKEN=x`
/// or `--token x`.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut after_name = false;
    let words = text.split(' ').map(|word| {
        let hide = std::mem::take(&mut after_name) && !word.starts_with('-');
        if hide && !word.is_empty() {
            return HIDDEN.to_owned();
        }
        if let Some((url, _)) = word.split_once('?').filter(|(url, _)| url.contains(':')) {
            return format!("{url}?{HIDDEN}");
        }
        match word.split_once('=') {
            Some((name, value)) if is_secret(name) && !value.is_empty() => format!("{name}={HIDDEN}"),
            Some(_) => word.to_owned(),
            None => {
                after_name = word.starts_with('-') && is_secret(word);
                word.to_owned()
            }
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::redacted;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_left() {
        for (text, shown) in [
            ("30s", "30s"),
            ("./migrate --token=abc --fast", "./migrate --token=… --fast"),
            ("./migrate --password abc x", "./migrate --password … x"),
            ("env API_KEY=abc ./x", "env API_KEY=… ./x"),
            ("http://127.0.0.1:80/ready?token=abc", "http://127.0.0.1:80/ready?…"),
            ("exec:curl -H x", "exec:curl -H x"),
            ("a?b", "a?b"),
            ("--token --fast", "--token --fast"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_shows(name in "(--)?[A-Z_]{0,5}(TOKEN|pass|Secret)[a-z]{0,3}", value in "[a-z0-9]{4,9}") {
            let shown = redacted(&format!("run {name}={value} z"));
            let secret = format!("={value}");
            prop_assert!(!shown.contains(&secret) && shown.ends_with(" z"));
        }
    }
}
