use std::collections::BTreeSet;

use super::of_info;

const INFO: &str = "# Server\r\nredis_version:7.4.0\r\nfastness_version:0.1.0\r\nos:Linux \"x\"\r\n\
run_id:00000000000000000000000000000000000000e5\r\nuptime_in_seconds:100\r\n\
# Memory\r\nused_memory:1024\r\nused_memory_human:1.00K\r\nmaxmemory_policy:noeviction\r\n\
# Persistence\r\nrdb_last_bgsave_status:err\r\nrdb_last_good_save_age_sec:-1\r\naof_base_age_sec:77\r\n\
aof_state:full\r\naof_unsynced_age_ms:1500\r\naof_something_new:5\r\naof_last_error:\r\n\
# Stats\r\nkeyspace_hits:9\r\nused_cpu_sys:0.25\r\n\
# Replication\r\nslave0:ip=10.0.0.7,port=6380,state=online,offset=77,lag=1\r\n\
# Commandstats\r\ncmdstat_client|list:calls=2,usec=3000000,usec_per_call=1.00,rejected_calls=1,failed_calls=4\r\n\
# Errorstats\r\nerrorstat_WRONG\\TYPE:count=3\r\n\
# Latencystats\r\nlatency_percentiles_usec_client|list:p50=1.003,p99.9=8.031\r\n\
# Keyspace\r\ndb3:keys=5,expires=2,avg_ttl=4500,subexpiry=1\r\n";

#[test]
fn fields_have_the_names_that_dashboards_ask_for() {
    let text = of_info(INFO, 1_000);
    for line in [
        "redis_up 1",
        "redis_start_time_seconds 900",
        "redis_memory_used_bytes 1024",
        "redis_rdb_last_bgsave_status 0",
        "# TYPE redis_keyspace_hits_total counter",
        "redis_keyspace_hits_total 9",
        "redis_cpu_sys_seconds_total 0.25",
        "redis_commands_total{cmd=\"client|list\"} 2",
        "redis_commands_duration_seconds_total{cmd=\"client|list\"} 3",
        "redis_commands_rejected_calls_total{cmd=\"client|list\"} 1",
        "redis_commands_failed_calls_total{cmd=\"client|list\"} 4",
        "redis_errors_total{err=\"WRONG\\\\TYPE\"} 3",
        "redis_latency_percentiles_usec{cmd=\"client|list\",quantile=\"99.9\"} 8.031",
        "redis_latency_percentiles_usec_count{cmd=\"client|list\"} 2",
        "redis_latency_percentiles_usec_sum{cmd=\"client|list\"} 3000000",
        "redis_db_keys{db=\"db3\"} 5",
        "redis_db_keys_expiring{db=\"db3\"} 2",
        "redis_db_avg_ttl_seconds{db=\"db3\"} 4.5",
        "redis_connected_slave_offset_bytes{slave_ip=\"10.0.0.7\",slave_port=\"6380\",slave_state=\"online\"} 77",
        "redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.7\",slave_port=\"6380\",slave_state=\"online\"} 1",
        "fastness_aof_state{state=\"full\"} 1",
        "fastness_aof_state{state=\"ready\"} 0",
        "fastness_aof_unsynced_age_seconds 1.5",
        "fastness_aof_base_age_seconds 77",
        "fastness_aof_something_new 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains(
        "redis_instance_info{role=\"\",redis_version=\"7.4.0\",fastness_version=\"0.1.0\""
    ));
    assert!(text.contains("os=\"Linux \\\"x\\\"\""));
    // No age of what never was, no numbers that are names, no texts.
    for absent in ["good_save_age", "run_id ", "human", "last_error"] {
        assert!(!text.contains(absent), "{absent}");
    }
}

/// What the format asks for: one HELP and TYPE for each name, before its samples, which stand together.
#[test]
fn every_family_stands_once() {
    let text = of_info(INFO, 0);
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(current.clone()), "{current} stands twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(current.as_str()));
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = name.trim_end_matches("_count").trim_end_matches("_sum");
            assert!(name == current || base == current, "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}
