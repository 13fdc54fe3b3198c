#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::aof::manifest::fuzz_manifest(bytes));
