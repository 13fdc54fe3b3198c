//! DEBUG RELOAD and DEBUG LOADAOF: the data set goes to disk and comes back, under the lock.

use super::load::SnapshotOptions;
use super::{apply, inspect, load};
use crate::engine::Engine;
use crate::keyspace::ExpireMode;

impl Engine {
    /// DEBUG RELOAD: saves, empties, loads; with `merge` what is loaded replaces what is there.
    pub(crate) fn debug_reload(
        &mut self,
        flush: bool,
        save: bool,
        merge: bool,
    ) -> Result<bool, String> {
        self.may_be_loaded_anew()?;
        if save {
            // A background save of the same does not keep this one waiting.
            self.restart_persist();
            self.save_undisturbed()?;
        }
        let path = self.server.config.dbfilename.clone();
        let bytes =
            inspect::view(self.disk.as_ref(), &path).map_err(|error| format!("ERR {error}"))?;
        let mut loader = self.loader();
        loader.ks.expire_mode = ExpireMode::Active;
        // What is over goes as it would have gone without this: with a record in the log.
        let options = SnapshotOptions { keep_expired: true, replace: merge };
        if !flush {
            std::mem::swap(&mut loader.ks, &mut self.ks);
            std::mem::swap(&mut loader.server.libraries, &mut self.server.libraries);
        }
        let loaded = load::load_snapshot(&mut loader, &path, &bytes, options, &mut |_| ());
        if loaded.is_ok() || !flush {
            let dirty = self.server.persistence.dirty;
            self.adopt(loader);
            self.server.persistence.dirty = dirty;
        }
        loaded.map_err(|error| format!("ERR Error trying to load the RDB dump: {error}"))?;
        Ok(true)
    }

    /// While the data set is loaded the keyspace is empty, and must not be saved. What a transaction did so far is not in
    /// the log yet, and would go with the keyspace.
    fn may_be_loaded_anew(&self) -> Result<(), String> {
        if self.server.loading.is_some() {
            return Err("LOADING Redis is loading the dataset in memory".to_owned());
        }
        if self.persist.in_exec {
            return Err("ERR DEBUG RELOAD and LOADAOF cannot be part of a transaction".to_owned());
        }
        Ok(())
    }

    /// DEBUG LOADAOF: what the log holds, also one that is not written to now, replaces what is in memory.
    pub(crate) fn debug_load_log(&mut self) -> Result<bool, String> {
        self.may_be_loaded_anew()?;
        if let Some(log) = self.log.clone() {
            log.write().and_then(|()| log.sync()).map_err(|error| format!("ERR {error}"))?;
        }
        let mut loader = self.loader();
        apply::load_own_log(self, &mut loader)
            .map_err(|error| format!("ERR Error trying to load the AOF files: {error}"))?;
        self.adopt(loader);
        Ok(true)
    }
}
