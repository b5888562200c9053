//! Variables that begin as ours do, and are none: a name that is nearly that of an option is a mistake, since what was
//! meant would not happen, as with `OPTVIEW_API_KEY`; any other is warned of. What Kubernetes sets for a Service called
//! `optview` is neither.

use clap::Arg;

use crate::cli;

const PREFIX: &str = "OPTVIEW_";

/// Looks at variables, each with its value where that is text, and returns the mistakes and the warnings. `known` are the options
/// of all commands.
pub fn check<'a>(
    variables: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    known: &[&Arg],
) -> (Vec<String>, Vec<String>) {
    let known: Vec<String> = known.iter().filter_map(|option| cli::variable(option)).collect();
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    for (name, _) in variables.filter(|(name, value)| is_meant_for_us(name, *value)) {
        if known.iter().any(|known| known == name) {
            continue;
        }
        let nearest = known.iter().min_by_key(|known| distance(known, name));
        match nearest {
            Some(nearest) if is_near(nearest, name) => {
                mistakes.push(format!(
                    "{name}: there is no such option; did you mean {nearest}? Correct it, or unset it"
                ));
            }
            _ => warnings.push(format!(
                "the variable {name} is none of optview's options, and has no effect{}",
                similar(&known, name)
            )),
        }
    }
    (mistakes, warnings)
}

/// Returns true if somebody has set the variable for optview. One that is set to nothing counts as not set.
fn is_meant_for_us(name: &str, value: Option<&str>) -> bool {
    name.starts_with(PREFIX) && value != Some("") && !is_of_service(name, value.unwrap_or_default())
}

/// Returns true if Kubernetes, or Docker with its links, sets a variable for a service whose name begins with `optview`.
fn is_of_service(name: &str, value: &str) -> bool {
    let is_of_port = |rest: &str| {
        let words: Vec<&str> = rest.split('_').collect();
        matches!(words[..], [port, "TCP" | "UDP" | "SCTP"] | [port, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"]
            if port.parse::<u16>().is_ok())
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && value.contains("://")
        || name.rsplit_once("_PORT_").is_some_and(|(_, rest)| is_of_port(rest))
        || name.find("_PORT_").is_some_and(|at| is_of_port(&name[at + "_PORT_".len()..]))
}

/// One letter or two are missing, too many, wrong, or changed places.
fn is_near(known: &str, name: &str) -> bool {
    let distance = distance(known, name);
    distance <= 2 && distance * 3 <= known.len() - PREFIX.len()
}

fn distance(known: &str, name: &str) -> usize {
    strsim::osa_distance(known, name)
}

fn similar(known: &[String], name: &str) -> String {
    let option = |variable: &str| variable[PREFIX.len()..].to_owned();
    let similarity = |known: &String| strsim::jaro_winkler(&option(known), &option(name));
    match known.iter().max_by(|one, other| similarity(one).total_cmp(&similarity(other))) {
        Some(nearest) if similarity(nearest) > 0.8 => format!("; is {nearest} meant?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::layers::named_options;

    fn checked(name: &str, value: &str) -> (Vec<String>, Vec<String>) {
        let program = cli::program::<Config>();
        check([(name, Some(value))].into_iter(), &named_options(&program))
    }

    #[test]
    fn what_is_nearly_an_option_is_a_mistake_that_names_it() {
        for (name, meant) in [
            ("OPTVIEW_API_KEY", "OPTVIEW_API_KEYS"),
            ("OPTVIEW_BROKER", "OPTVIEW_BROKERS"),
            ("OPTVIEW_DATADIR", "OPTVIEW_DATA_DIR"),
            ("OPTVIEW_DATA_DRI", "OPTVIEW_DATA_DIR"),
            ("OPTVIEW_LISTN", "OPTVIEW_LISTEN"),
            ("OPTVIEW_KAFKA_PROPERTYS", "OPTVIEW_KAFKA_PROPERTY"),
        ] {
            let (mistakes, warnings) = checked(name, "secret");
            assert_eq!((mistakes.len(), warnings.len()), (1, 0), "{name}");
            assert!(mistakes[0].starts_with(name) && mistakes[0].contains(meant), "{mistakes:?}");
            assert!(!mistakes[0].contains("secret"), "{mistakes:?}");
        }
    }

    #[test]
    fn what_is_no_option_at_all_is_warned_of_without_its_value() {
        for (name, meant) in [
            ("OPTVIEW_LISTEN_ADDRESS", "; is OPTVIEW_LISTEN meant?"),
            ("OPTVIEW_DATA_DIRECTORY", "; is OPTVIEW_DATA_DIR meant?"),
            ("OPTVIEW_PORT", ""),
            ("OPTVIEW_IMAGE", ""),
            ("OPTVIEW_", ""),
        ] {
            let (mistakes, warnings) = checked(name, "secret");
            assert_eq!((mistakes.len(), warnings.len()), (0, 1), "{name}");
            assert!(warnings[0].contains(name) && warnings[0].contains(meant), "{warnings:?}");
            assert!(!warnings[0].contains("secret"), "{warnings:?}");
        }
    }

    #[test]
    fn options_of_any_command_and_what_kubernetes_sets_are_passed_over() {
        for (name, value) in [
            ("OPTVIEW_BROKERS", "kafka"),
            ("OPTVIEW_SEED", "1"),
            ("OPTVIEW_BROKER", ""),
            ("OPTVIEW_SERVICE_HOST", "10.0.0.1"),
            ("OPTVIEW_SERVICE_PORT", "80"),
            ("OPTVIEW_SERVICE_PORT_HTTP", "80"),
            ("OPTVIEW_PORT", "tcp://10.0.0.1:80"),
            ("OPTVIEW_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("OPTVIEW_PORT_80_TCP_PROTO", "tcp"),
            ("OPTVIEW_PORT_80_TCP_PORT", "80"),
            ("OPTVIEW_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("OPTVIEW_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("OPTVIEW_ADMIN_PORT", "tcp://10.0.0.1:9180"),
            ("OPTVIEW_ADMIN_PORT_9180_TCP_PORT", "9180"),
            ("OPTVIEW_MAX_PORT_80_UDP", "udp://10.0.0.1:80"),
            ("RUST_LOG", "info"),
        ] {
            assert_eq!(checked(name, value), (Vec::new(), Vec::new()), "{name}");
        }
    }
}
