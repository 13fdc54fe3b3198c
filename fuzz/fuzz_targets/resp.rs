#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::resp::decode::fuzz_resp(bytes));
