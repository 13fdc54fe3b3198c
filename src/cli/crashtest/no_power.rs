//! Where there is no FUSE that this program could use, there are no power cuts.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::disk::sim::CrashMode;
use crate::rng::Rng;

/// How the drive would be.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) sync_takes: Duration,
    pub(super) strict_names: bool,
    pub(super) filesystem: Option<String>,
}

/// There is none.
#[derive(Debug)]
pub(super) enum PowerDisk {}

impl PowerDisk {
    pub(super) fn new(
        _: String,
        _: String,
        how: &Drive,
        _: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        Err(format!("--power needs FUSE on Linux, for a drive like {how:?}; --kill works here"))
    }

    pub(super) fn modes(&self) -> &'static [CrashMode] {
        match *self {}
    }

    pub(super) fn freeze(&self) {
        match *self {}
    }

    pub(super) fn power_off(&self) {
        match *self {}
    }

    pub(super) fn lose(&mut self, _: CrashMode, _: &mut dyn Rng) -> Result<(), String> {
        match *self {}
    }

    pub(super) fn wipe(&mut self) -> Result<(), String> {
        match *self {}
    }
}
