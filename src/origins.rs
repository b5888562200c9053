//! Web origins, as browsers name them, and the patterns by which they are allowed.

/// A pattern for origins: one of them, those of all hosts below a domain, those of all ports of a host, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every origin.
    Any,
    /// Some origins.
    Some {
        /// The scheme with its `://`.
        scheme: String,
        /// The host, or what follows the first label if `is_below`.
        host: String,
        /// True if the pattern is for all hosts below `host`.
        is_below: bool,
        /// The port that must be named.
        port: PortPattern,
    },
}

/// The part of a pattern that is for the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortPattern {
    /// The scheme's own port, which no origin names.
    Default,
    /// One port.
    Number(u16),
    /// Every port, named or not.
    Any,
}

impl OriginPattern {
    /// Parses a pattern. The error continues the sentence "TEXT ...".
    pub fn parse(text: &str) -> Result<OriginPattern, String> {
        const HELP: &str =
            "give for instance https://app.example.com, https://*.example.com, http://localhost:* or *";
        if text == "*" {
            return Ok(OriginPattern::Any);
        }
        let (scheme, host, port) = split(text).ok_or_else(|| format!("is no origin; {HELP}"))?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("has capital letters, which browsers write small; write them so".to_owned());
        }
        let (host, is_below) = match host.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (host, false),
        };
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte)) {
            return Err(format!(
                "is no origin: it has no path, and `*` stands for whole labels in front only; {HELP}"
            ));
        }
        let port = match port {
            None => PortPattern::Default,
            Some("*") => PortPattern::Any,
            Some(port) => match port.parse() {
                Ok(number) if Some(number) != default_port(scheme) => PortPattern::Number(number),
                Ok(_) => return Err("names the port that browsers leave out; leave it out".to_owned()),
                Err(_) => return Err(format!("has no port behind its last colon; {HELP}")),
            },
        };
        Ok(OriginPattern::Some { scheme: scheme.to_owned(), host: host.to_owned(), is_below, port })
    }

    /// Returns true if the pattern allows an origin, given as a browser writes it.
    pub fn allows(&self, origin: &str) -> bool {
        let OriginPattern::Some { scheme, host, is_below, port } = self else { return true };
        let Some((own_scheme, own_host, own_port)) = split(origin) else { return false };
        let is_host = match own_host.strip_suffix(host.as_str()) {
            Some(front) if *is_below => front.len() > 1 && front.ends_with('.') && !front.starts_with('.'),
            Some(front) => front.is_empty(),
            None => false,
        };
        let is_port = match port {
            PortPattern::Default => own_port.is_none(),
            PortPattern::Number(number) => own_port.is_some_and(|port| port == number.to_string()),
            PortPattern::Any => {
                own_port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            }
        };
        scheme == own_scheme && is_host && is_port
    }
}

/// Splits `scheme://host:port`. The port may be missing, and the host may be an IPv6 address in brackets.
fn split(origin: &str) -> Option<(&str, &str, Option<&str>)> {
    let (scheme, rest) = origin.split_once("://")?;
    if scheme.is_empty() || rest.is_empty() || rest.contains('/') {
        return None;
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((scheme, host, Some(port))),
        _ => Some((scheme, rest, None)),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        OriginPattern::parse(pattern).unwrap().allows(origin)
    }

    #[test]
    fn a_pattern_allows_what_it_names_and_no_more() {
        for (pattern, allowed, refused) in [
            (
                "https://app.example.com",
                &["https://app.example.com"][..],
                &[
                    "http://app.example.com",
                    "https://app.example.com:8443",
                    "https://app.example.com.evil.org",
                    "https://evilapp.example.com",
                    "https://app.example.com/",
                    "https://app.example.com@evil.org",
                    "null",
                    "",
                ][..],
            ),
            (
                "https://*.example.com",
                &["https://a.example.com", "https://a.b.example.com"],
                &[
                    "https://example.com",
                    "https://.example.com",
                    "https://evilexample.com",
                    "https://a.example.com.evil.org",
                    "https://a.example.com:8443",
                    "http://a.example.com",
                ],
            ),
            (
                "http://localhost:*",
                &["http://localhost", "http://localhost:3000"],
                &[
                    "https://localhost:3000",
                    "http://localhost:",
                    "http://localhost:x",
                    "http://localhost.evil.org:3000",
                ],
            ),
            ("http://[::1]:3000", &["http://[::1]:3000"], &["http://[::1]", "http://[::2]:3000"]),
            ("https://*.example.com:8443", &["https://a.example.com:8443"], &["https://a.example.com"]),
            ("chrome-extension://abc", &["chrome-extension://abc"], &["chrome-extension://abd"]),
            ("*", &["https://a", "null", "anything"], &[]),
        ] {
            allowed.iter().for_each(|origin| assert!(allows(pattern, origin), "{pattern} {origin}"));
            refused.iter().for_each(|origin| assert!(!allows(pattern, origin), "{pattern} {origin}"));
        }
    }

    #[test]
    fn what_no_browser_would_send_is_refused_as_a_pattern() {
        for (pattern, why) in [
            ("", "is no origin"),
            ("null", "is no origin"),
            ("app.example.com", "is no origin"),
            ("https://app.example.com/", "is no origin"),
            ("https://", "is no origin"),
            ("https://*", "`*` stands for whole labels in front only"),
            ("https://*.", "`*` stands for whole labels"),
            ("https://a*.example.com", "`*` stands for whole labels"),
            ("https://a b", "is no origin"),
            ("https://App.example.com", "capital letters"),
            ("https://app.example.com:443", "leave it out"),
            ("http://localhost:80", "leave it out"),
            ("http://localhost:x", "has no port"),
            ("http://localhost:", "has no port"),
        ] {
            let error = OriginPattern::parse(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }

    proptest! {
        #[test]
        fn only_hosts_below_a_domain_are_below_it(host in "[a-z.:/@-]{0,12}") {
            let origin = format!("https://{host}example.com");
            let is_below = host.len() > 1 && host.ends_with('.') && !host.starts_with('.') && !host.contains('/');
            // What a browser would never send, such as `a:b.`, may be split in any way.
            prop_assume!(!host.contains(':'));
            prop_assert_eq!(allows("https://*.example.com", &origin), is_below);
        }
    }
}
