//! The parts that librdkafka can be built without (TLS, SCRAM, Kerberos, OpenID Connect), and the settings that
//! need them. librdkafka's own errors name neither the missing part nor the way to get it, and some come only when
//! a connection fails.

use std::sync::LazyLock;

use rdkafka::ClientConfig;

/// A part of librdkafka that a build may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BuildPart {
    Tls,
    Scram,
    OauthBearer,
    Oidc,
    Kerberos,
}

impl BuildPart {
    /// The part's name in librdkafka's `builtin.features`.
    const fn builtin_name(self) -> &'static str {
        match self {
            BuildPart::Tls => "ssl",
            BuildPart::Scram => "sasl_scram",
            BuildPart::OauthBearer => "sasl_oauthbearer",
            BuildPart::Oidc => "oidc",
            BuildPart::Kerberos => "sasl_gssapi",
        }
    }

    /// Returns the missing part and the way to get it. The text continues the sentence "KEY needs ...".
    const fn remedy(self) -> &'static str {
        match self {
            BuildPart::Tls => {
                "TLS, which this binary was built without: build with `--features tls`, as `bash deploy/build` and \
                 deploy/Dockerfile do"
            }
            BuildPart::Scram => {
                "SCRAM, which comes with TLS, and this binary was built without that: build with `--features tls`, as \
                 `bash deploy/build` and deploy/Dockerfile do"
            }
            BuildPart::OauthBearer => {
                "OAUTHBEARER, which comes with TLS, and this binary was built without that: build with `--features tls`, or \
                 `--features oidc` for tokens from an OpenID provider"
            }
            BuildPart::Oidc => {
                "OpenID Connect, which this binary was built without: build with `--features oidc` (which needs the headers of \
                 libcurl and OpenSSL), as deploy/Dockerfile does"
            }
            BuildPart::Kerberos => {
                "Kerberos (GSSAPI), which optview is never built with: use SCRAM, OAUTHBEARER or a client's certificate"
            }
        }
    }
}

/// Returns the reason for which this binary cannot apply the setting, or `None` if it can. The text continues the
/// sentence "KEY ...".
pub fn missing_for(key: &str, value: &str) -> Option<String> {
    let part = needed_by(key, value)?;
    (!is_built_in(part)).then(|| format!("needs {}", part.remedy()))
}

/// Returns the contradiction between settings that are valid one by one, if any. `get` returns the value of a key
/// that is set.
pub fn contradiction<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let protocol = get("security.protocol")?;
    if !protocol.to_ascii_lowercase().starts_with("sasl_") {
        return None;
    }
    let Some(mechanism) = get("sasl.mechanism").or_else(|| get("sasl.mechanisms")) else {
        // Without a mechanism, librdkafka would choose GSSAPI.
        return Some(
            "security.protocol asks for SASL, and sasl.mechanism is missing: give PLAIN, SCRAM-SHA-256, \
                     SCRAM-SHA-512 or OAUTHBEARER"
                .to_owned(),
        );
    };
    let is_oidc = get("sasl.oauthbearer.method").is_some_and(|method| method.eq_ignore_ascii_case("oidc"));
    let is_unsecured = get("enable.sasl.oauthbearer.unsecure.jwt").is_some();
    (mechanism == "OAUTHBEARER" && !is_oidc && !is_unsecured).then(|| {
        "sasl.mechanism=OAUTHBEARER needs sasl.oauthbearer.method=oidc: optview has no tokens of its own"
            .to_owned()
    })
}

/// Returns the part that a setting needs.
fn needed_by(key: &str, value: &str) -> Option<BuildPart> {
    match key {
        "security.protocol" => {
            matches!(value.to_ascii_lowercase().as_str(), "ssl" | "sasl_ssl").then_some(BuildPart::Tls)
        }
        "sasl.mechanism" | "sasl.mechanisms" => match value {
            "GSSAPI" => Some(BuildPart::Kerberos),
            "OAUTHBEARER" => Some(BuildPart::OauthBearer),
            scram if scram.starts_with("SCRAM-") => Some(BuildPart::Scram),
            _ => None,
        },
        "sasl.oauthbearer.config" | "enable.sasl.oauthbearer.unsecure.jwt" => Some(BuildPart::OauthBearer),
        _ if key.starts_with("sasl.kerberos.") => Some(BuildPart::Kerberos),
        _ if key.starts_with("sasl.oauthbearer.") || key.starts_with("https.ca.") => Some(BuildPart::Oidc),
        _ if key.starts_with("ssl.") || key == "enable.ssl.certificate.verification" => Some(BuildPart::Tls),
        _ => None,
    }
}

fn is_built_in(part: BuildPart) -> bool {
    static BUILT_IN: LazyLock<String> = LazyLock::new(|| {
        let config = ClientConfig::new().create_native_config();
        config.and_then(|config| config.get("builtin.features")).unwrap_or_default()
    });
    BUILT_IN.split(',').any(|name| name.trim() == part.builtin_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_needs_what_is_not_built_in_says_how_to_get_it() {
        let tls = cfg!(feature = "tls");
        for (key, value, is_there, remedy) in [
            ("security.protocol", "SASL_SSL", tls, "needs TLS"),
            ("security.protocol", "ssl", tls, "`--features tls`"),
            ("ssl.ca.location", "/ca.pem", tls, "`bash deploy/build`"),
            ("enable.ssl.certificate.verification", "false", tls, "needs TLS"),
            ("sasl.mechanism", "SCRAM-SHA-512", tls, "needs SCRAM"),
            ("sasl.mechanisms", "SCRAM-SHA-256", tls, "`--features tls`"),
            ("sasl.mechanism", "OAUTHBEARER", tls, "needs OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc", cfg!(feature = "oidc"), "`--features oidc`"),
            ("sasl.oauthbearer.client.credentials.client.id", "x", cfg!(feature = "oidc"), "OpenID Connect"),
            ("https.ca.location", "/ca.pem", cfg!(feature = "oidc"), "OpenID Connect"),
            ("sasl.mechanism", "GSSAPI", false, "Kerberos (GSSAPI), which optview is never built with"),
            ("sasl.kerberos.keytab", "/key", false, "use SCRAM"),
            ("security.protocol", "SASL_PLAINTEXT", true, ""),
            ("sasl.mechanism", "PLAIN", true, ""),
            ("client.id", "ssl", true, ""),
        ] {
            let missing = missing_for(key, value);
            assert_eq!(missing.is_none(), is_there, "{key}={value}: {missing:?}");
            let text = missing.unwrap_or_else(|| remedy.to_owned());
            assert!(text.contains(remedy), "{key}={value}: {text}");
        }
    }

    #[test]
    fn sasl_without_a_mechanism_or_without_tokens_is_a_contradiction() {
        let contradiction_of = |settings: &[(&'static str, &'static str)]| {
            contradiction(|key| settings.iter().find(|(held, _)| *held == key).map(|(_, value)| *value))
        };
        let sasl = ("security.protocol", "SASL_SSL");
        let oauth = ("sasl.mechanism", "OAUTHBEARER");
        assert!(contradiction_of(&[sasl]).unwrap().contains("sasl.mechanism is missing"));
        assert!(contradiction_of(&[sasl, oauth]).unwrap().contains("sasl.oauthbearer.method=oidc"));
        for right in [
            &[][..],
            &[("security.protocol", "ssl")],
            &[sasl, ("sasl.mechanisms", "PLAIN")],
            &[sasl, oauth, ("sasl.oauthbearer.method", "oidc")],
            &[sasl, oauth, ("enable.sasl.oauthbearer.unsecure.jwt", "true")],
        ] {
            assert_eq!(contradiction_of(right), None, "{right:?}");
        }
    }
}
