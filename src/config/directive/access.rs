//! Rows: passwords, ACL users and what is locked unless allowed.

use super::super::settings::{AclPubsubDefault, Allow};
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    text("requirepass", at!(requirepass), "", "Password of the default user; empty is none.")
        .secret(),
    text(
        "aclfile",
        at!(aclfile),
        "",
        "File of ACL users; then the config file may have no `user` lines.",
    )
    .immutable(),
    integer("acllog-max-len", at!(acllog_max_len), U63, "128", "Entries that ACL LOG keeps."),
    one_of(
        "acl-pubsub-default",
        at!(acl_pubsub_default),
        AclPubsubDefault::NAMES,
        "resetchannels",
        "Channels that a new ACL user may use.",
    ),
    one_of(
        "enable-protected-configs",
        at!(enable_protected_configs),
        Allow::NAMES,
        "no",
        "Who may CONFIG SET protected directives; `local` is clients on this machine.",
    )
    .immutable(),
    one_of(
        "enable-debug-command",
        at!(enable_debug_command),
        Allow::NAMES,
        "no",
        "Who may use DEBUG.",
    )
    .immutable(),
    one_of(
        "enable-module-command",
        at!(enable_module_command),
        Allow::NAMES,
        "no",
        "Who may use MODULE.",
    )
    .immutable(),
    Directive::new(
        "user",
        Kind::Line,
        Place::Line,
        "",
        "An ACL user: name and rules, as in ACL SETUSER. One line per user.",
    )
    .secret(),
    Directive::new(
        "rename-command",
        Kind::Line,
        Place::Line,
        "",
        "A command and its new name; `\"\"` disables the command.",
    ),
];
