//! A broker that accepts only TLS and requires a password: a client with both reads it like any other, and a
//! client without reports it while it keeps serving reads.

use std::path::Path;
use std::process::Command;

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job, wait_for_status};
use crate::rig::{Kafka, Rig};
use crate::server::Server;

pub const TESTS: &[Test] = &[test!(
    a_broker_behind_tls_and_a_password_is_read_and_what_is_wrong_with_either_is_said_while_reads_go_on,
    SecuredBrokerOfItsOwn
)];

const PASSWORD: &str = "correct-horse";

/// Starts a broker whose only listener for clients is SASL over TLS, with a self-signed certificate for 127.0.0.1.
pub fn broker() -> Kafka {
    let directory = tempfile::tempdir().expect("a directory for the certificate");
    let (store, certificate) = (directory.path().join("broker.p12"), directory.path().join("broker.pem"));
    make_certificate(&store, &certificate);
    let login = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"optview\" password=\"{PASSWORD}\" \
         user_optview=\"{PASSWORD}\";"
    );
    let store = store.display();
    let properties = [
        "listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
        "sasl.enabled.mechanisms=PLAIN".to_owned(),
        "sasl.mechanism.inter.broker.protocol=PLAIN".to_owned(),
        format!("listener.name.clients.plain.sasl.jaas.config={login}"),
        "ssl.keystore.type=PKCS12".to_owned(),
        format!("ssl.keystore.location={store}"),
        format!("ssl.keystore.password={PASSWORD}"),
        "ssl.truststore.type=PKCS12".to_owned(),
        format!("ssl.truststore.location={store}"),
        format!("ssl.truststore.password={PASSWORD}"),
    ];
    let client = client_properties(&certificate, PASSWORD);
    Kafka::start_with(&properties).spoken_to_with(client, directory)
}

fn client_properties(certificate: &Path, password: &str) -> Vec<(String, String)> {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![
        pair("security.protocol", "SASL_SSL"),
        pair("sasl.mechanism", "PLAIN"),
        pair("sasl.username", "optview"),
        pair("sasl.password", password),
        pair("ssl.ca.location", &certificate.display().to_string()),
    ]
}

/// Makes a certificate with Java's own tool, which every machine with a broker has.
fn make_certificate(store: &Path, certificate: &Path) {
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments).arg("-keystore").arg(store).args(["-storepass", PASSWORD, "-alias", "broker"]);
        let output = command.output().expect("keytool, which comes with Java");
        let output_text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output_text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let name = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-ext", "bc:c"];
    keytool(&[&["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", "-validity", "2"], &name[..]].concat());
    keytool(&["-exportcert", "-rfc", "-file", certificate.to_str().expect("a path that is text")]);
}

fn a_broker_behind_tls_and_a_password_is_read_and_what_is_wrong_with_either_is_said_while_reads_go_on(rig: &Rig) {
    rig.create_topics(2);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    put(rig, &[job("a", "completed", 2)]);

    // The last value of a key counts. `probe` stands for the certificates that this machine trusts.
    let error = refused(rig, &["--kafka-property", "sasl.password=wrong-horse"], "Authentication");
    assert!(error.starts_with("Authentication"), "{error}");
    refused(rig, &["--kafka-property", "ssl.ca.location=probe"], "SSL");
    // librdkafka itself reports no more of a listener that speaks TLS than that all brokers are down.
    let error =
        refused(rig, &["--kafka-property", "security.protocol=SASL_PLAINTEXT"], "set security.protocol to SSL");
    assert!(error.contains(&rig.settings.brokers), "{error}");

    let server = Server::start(rig, &[]);
    server.wait_until_live().check();
    wait_for_status(&server, "a", "succeeded");
}

/// Returns the error with this part of a server with these arguments, which keeps serving its store. The log has it, too.
fn refused(rig: &Rig, wrong: &[&str], part: &str) -> String {
    let given = rig.settings.properties.iter().map(|(key, value)| format!("{key}={value}"));
    let given: Vec<String> = given.flat_map(|property| ["--kafka-property".to_owned(), property]).collect();
    let arguments: Vec<&str> = given.iter().map(String::as_str).chain(wrong.iter().copied()).collect();
    let mut server = Server::start(rig, &arguments);
    let report =
        server.wait_for(part, |report| report.last_error.as_ref().is_some_and(|error| error.contains(part)));
    assert_ne!(report.state, "live");
    // The store's views are worth serving, marked as old.
    let ready = server.get("/readyz");
    assert_eq!((ready.status, &ready.body["status"]), (200, &"stale".into()));
    let view = server.get("/optimizations/a");
    assert_eq!((view.status, &view.body["status"]), (200, &"queued".into()));
    assert!(server.is_running());
    let log = server.log();
    assert!(log.contains(part) && !log.contains("-horse"), "the log lacks the error, or has a password: {log}");
    report.last_error.expect("an error")
}
