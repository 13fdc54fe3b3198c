//! Rows: TLS, which this server does not speak.

use super::*;

const NO_TLS: Place = Place::NoEffect("there is no TLS");

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    integer("tls-port", NO_TLS, PORT, "0", "Port for TLS."),
    one_of(
        "tls-auth-clients",
        NO_TLS,
        &["no", "yes", "optional"],
        "yes",
        "Clients need certificates.",
    ),
    one_of(
        "tls-auth-clients-user",
        NO_TLS,
        &["CN", "URI", "off"],
        "off",
        "Certificates name ACL users.",
    ),
    integer(
        "tls-auto-reload-interval",
        NO_TLS,
        U31,
        "0",
        "Seconds between reloads of certificates.",
    ),
    text("tls-ca-cert-dir", NO_TLS, "", "Directory of CA certificates."),
    text("tls-ca-cert-file", NO_TLS, "", "File of CA certificates."),
    text("tls-cert-file", NO_TLS, "", "Certificate of the server."),
    text("tls-ciphers", NO_TLS, "", "Ciphers up to TLS 1.2."),
    text("tls-ciphersuites", NO_TLS, "", "Ciphers of TLS 1.3."),
    text("tls-client-cert-file", NO_TLS, "", "Certificate for connections to others."),
    text("tls-client-key-file", NO_TLS, "", "Key for connections to others."),
    text("tls-client-key-file-pass", NO_TLS, "", "Password of that key.").secret(),
    yes_no("tls-cluster", NO_TLS, "no", "TLS on the cluster bus."),
    text("tls-dh-params-file", NO_TLS, "", "Diffie-Hellman parameters."),
    text("tls-key-file", NO_TLS, "", "Key of the server."),
    text("tls-key-file-pass", NO_TLS, "", "Password of that key.").secret(),
    yes_no("tls-prefer-server-ciphers", NO_TLS, "no", "The server's order of ciphers counts."),
    text("tls-protocols", NO_TLS, "", "Versions of TLS."),
    yes_no("tls-replication", NO_TLS, "no", "TLS between master and replicas."),
    integer(
        "tls-session-cache-size",
        NO_TLS,
        U31,
        "20480",
        "Sessions that are kept for resumption.",
    ),
    integer("tls-session-cache-timeout", NO_TLS, U31, "300", "Seconds that they are kept."),
    yes_no("tls-session-caching", NO_TLS, "yes", "Keep sessions for resumption."),
    integer(
        "max-new-tls-connections-per-cycle",
        NO_TLS,
        (1, 1000),
        "1",
        "TLS handshakes in one turn.",
    ),
];
