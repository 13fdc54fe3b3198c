//! One engine without a log, and one client of it, for the targets that send commands.

use std::sync::Arc;

use fastness::clock::Clock;
use fastness::config::Config;
use fastness::disk::os::OsDisk;
use fastness::engine::Engine;
use fastness::logger::Logger;
use fastness::resp::{OwnedArgs, Reply};
use fastness::rng::SeededRng;
use fastness::session::{Client, ClientId};

pub struct Session {
    engine: Engine,
    client: ClientId,
}

impl Session {
    pub fn start(config: Config, clock: Arc<dyn Clock>) -> Self {
        let state = fastness::cli::serve::server_state(config, String::new(), &clock);
        let disk = Arc::new(OsDisk::new(std::env::temp_dir()));
        let logger = Logger::silent(Arc::clone(&clock));
        let mut engine = Engine::new(state, clock, disk, SeededRng::new(1), logger);
        // Code that does not end is stopped as an operator would do it.
        engine.while_busy = Some(|engine| {
            if let Some(script) = engine.server.running_script.as_mut() {
                let _ = script.kill(false);
            }
        });
        let client = Client::new("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned(), engine.ks.now);
        let (client, _) = engine.admit(client).expect("the first client is admitted");
        Self { engine, client }
    }

    /// The reply to a request, which is never none.
    pub fn send(&mut self, request: &[&[u8]]) -> Vec<u8> {
        let args = OwnedArgs::from_slices(request.to_vec());
        let mut reply = Reply::new(false);
        self.engine.begin_batch();
        self.engine.execute(self.client, &args.as_args(), &mut reply);
        assert!(reply.buffer.ends_with(b"\r\n"), "a request ends with a reply");
        reply.buffer.to_vec()
    }
}
