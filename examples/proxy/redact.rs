//! Keeps the credentials that an argument may have out of what is said about it.

/// Parameters of URLs, and of what else names a server, that are credentials.
const PARAMETERS: [&str; 5] = ["password=", "passwd=", "pwd=", "secret=", "token="];

/// `text` without the values of `arguments` that have credentials in them, or may have.
pub(crate) fn redacted(text: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let mut text = text.to_owned();
    let mut is_store = false;
    for argument in arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, value),
            _ => ("", &*argument),
        };
        // Whatever a store is named by, it is not shown: any part of it may be a password.
        let is_secret = is_store || name == "--store" || has_credentials(value);
        if is_secret && value.contains([':', '@', '=']) {
            text = text.replace(value, &shown(value));
        }
        is_store = argument == "--store";
    }
    text
}

fn has_credentials(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value.contains('@') || PARAMETERS.iter().any(|parameter| value.contains(parameter))
}

/// What a value begins with, if it is a scheme.
fn shown(value: &str) -> String {
    let scheme = value.split_once(":/").map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &&str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.len() <= 20 && scheme.bytes().all(is_legal)
    };
    scheme.filter(is_scheme).map_or_else(|| "***".into(), |scheme| format!("{scheme}://***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str], text: &str) -> String {
        redacted(text, arguments.iter().copied().map(str::to_owned))
    }

    #[test]
    fn what_names_a_store_shows_its_scheme_at_most() {
        for (value, expected) in [
            ("postgress://ada:s3cret@host/db", "'postgress://***'"),
            ("postgress:/ada:s3cret@host", "'postgress://***'"),
            ("redis:s3cret", "'***'"),
            ("ada:s3cret@host", "'***'"),
            ("host=h password=s3cret", "'***'"),
        ] {
            let text = format!("invalid value '{value}'");
            let both = format!("--store={value}");
            for arguments in [&["--store", value][..], &[&*both]] {
                assert_eq!(said(arguments, &text), format!("invalid value {expected}"));
            }
        }
    }

    #[test]
    fn credentials_are_not_shown_wherever_they_stand() {
        for value in [
            "http://ada:s3cret@host",
            "//ada:s3cret@host",
            "http://host/?Token=s3cret",
            "host=h PassWord=s3cret",
        ] {
            for argument in [value.to_owned(), format!("--upstreem={value}")] {
                assert!(!said(&[&argument], &format!("what is '{value}'?")).contains("s3cret"));
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for (arguments, text) in [
            (["--store", "memry"], "invalid value 'memry'"),
            (["--upstream", "http://host:1/base"], "invalid value 'http://host:1/base'"),
            (["--secret-file", "/run/secrets/key"], "invalid value '/run/secrets/key'"),
            (["--secret-file=/run/secrets/key", ""], "invalid value '/run/secrets/key'"),
        ] {
            assert_eq!(said(&arguments, text), text);
        }
    }
}
