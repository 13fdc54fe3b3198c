//! The section about replication: the stream, and who gets it.

use super::line;
use crate::engine::Engine;

pub(super) fn render(engine: &Engine, out: &mut String) {
    let (state, replicas) = (&engine.server, &engine.sessions.replicas);
    let offset = replicas.offset(state.persistence.appended);
    line(out, "role", "master");
    line(out, "connected_slaves", replicas.iter().len());
    if state.config.min_replicas_to_write > 0 {
        let lag = i64::from(state.config.min_replicas_max_lag);
        line(out, "min_slaves_good_slaves", replicas.good(lag, engine.ks.now));
    }
    for (number, replica) in replicas.iter().enumerate() {
        let text = format!(
            "ip={},port={},state={},offset={},lag={}",
            replica.ip,
            replica.port,
            replica.state(),
            replica.acked,
            replica.lag_s(engine.ks.now)
        );
        line(out, &format!("slave{number}"), text);
    }
    line(out, "master_failover_state", "no-failover");
    line(out, "master_replid", state.replication_id());
    line(out, "master_replid2", "0".repeat(40));
    line(out, "master_repl_offset", offset);
    line(out, "second_repl_offset", -1);
    line(out, "repl_backlog_active", 0);
    line(out, "repl_backlog_size", 1_048_576);
    line(out, "repl_backlog_first_byte_offset", 0);
    line(out, "repl_backlog_histlen", 0);
}
