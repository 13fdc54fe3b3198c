//! Writing and syncing: pending units become a frame in the current segment, and durable.
//!
//! A frame is built once: when the disk was full, the very same bytes are written again to the same place,
//! so whatever sectors of the first attempt survive a power loss, they fit the second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::super::record::{Frame, Position, encode_frame_line};
use super::filler::padding;
use super::{BUFFER_KEPT_MAX, BuiltFrame, Cut, HEADROOM, Io, Log, LogError, Segment};
#[cfg(any(test, feature = "sim"))]
use crate::disk::sim::canary;

/// How long `try_write` waits for another writer.
const TRY_WRITE_WAIT: Duration = Duration::from_millis(1);

/// What a call of [`Log::try_write`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Everything that was appended before the call is handed to the kernel.
    Done,
    /// A running sync or a rotation is in the way: whoever syncs must call [`Log::write`] after it.
    Busy,
}

/// What there is to do for a writer.
enum Taken {
    Nothing,
    /// A frame of records was taken into `Io::buffer`; they end at this position.
    Records(Position),
    /// All that belongs to the old segment was taken before.
    Switch,
}

impl Log {
    /// Hands everything that was appended before the call to the kernel, and completes a rotation, which
    /// may take syncs. For the thread that also syncs.
    pub fn write(&self) -> Result<(), LogError> {
        self.begin()?;
        self.write_all(&mut self.io.lock())
    }

    /// The same for a thread that must not wait for a sync.
    pub fn try_write(&self) -> Result<Written, LogError> {
        if self.written() < self.appended() && self.syncing.load(Ordering::Acquire) {
            self.stats.lock().delayed += 1;
            return Ok(Written::Busy);
        }
        self.try_write_beside_sync()
    }

    /// The same, but a running sync does not hold up a write where filler is ahead: the file has its length and its
    /// blocks already, so the write touches no more than pages, but for the one in many that adds filler.
    pub fn try_write_beside_sync(&self) -> Result<Written, LogError> {
        if self.written() == self.appended() {
            return Ok(Written::Done);
        }
        if !self.unbegun.load(Ordering::Acquire)
            && let Some(mut io) = self.io.try_lock_for(TRY_WRITE_WAIT)
            && (io.segment.filled > io.segment.len || !self.syncing.load(Ordering::Acquire))
            && self.pending.lock().cut.is_none()
        {
            self.write_all(&mut io)?;
            return Ok(Written::Done);
        }
        self.stats.lock().delayed += 1;
        Ok(Written::Busy)
    }

    /// Makes everything durable that was written before the call. Does not hold up writes.
    pub fn sync(&self) -> Result<(), LogError> {
        let serial = self.serial.lock();
        self.must_not_have_failed()?;
        // File and position are of one instant: a switch of segments syncs the old one itself.
        let (file, written) = {
            let mut current = self.current.lock();
            if current.written == current.synced {
                return Ok(());
            }
            let since = current.unsynced_since.take();
            current.syncing_since = current.syncing_since.or(since);
            (Arc::clone(&current.file), current.written)
        };
        self.syncing.store(true, Ordering::Release);
        let started = self.clock.monotonic();
        let result = file.sync_data();
        let took = self.clock.monotonic().saturating_sub(started);
        self.syncing.store(false, Ordering::Release);
        #[cfg(any(test, feature = "sim"))]
        let result = match canary::planted(canary::Canary::ForgottenFailure) {
            true => Ok(()),
            false => result,
        };
        result.map_err(|error| self.latch(error))?;
        self.publish_synced(written, false);
        drop(serial);
        let mut stats = self.stats.lock();
        stats.fsyncs += 1;
        stats.fsync_time += took;
        stats.fsync_time_last = took;
        stats.fsync_time_max = stats.fsync_time_max.max(took);
        Ok(())
    }

    /// Writes and syncs everything, a last empty frame that proves it, and the manifest that tells where
    /// the log ends, so that damage in a log that was closed is never taken for a torn end.
    pub fn close(&self) -> Result<(), LogError> {
        if self.unbegun.load(Ordering::Acquire) && self.pending_bytes() == 0 {
            // The files are as they were found.
            return Ok(());
        }
        self.write()?;
        self.sync()?;
        self.mark_synced()?;
        self.cut_filler()?;
        let mut names = self.names.lock();
        let (seq, (_, synced)) = (self.io.lock().segment.seq, self.raw_positions());
        // With the old manifest or the new one all is there; the new one only finds more.
        let _ = names.note_end(seq, synced);
        Ok(())
    }

    /// A closed log ends with its last frame.
    fn cut_filler(&self) -> Result<(), LogError> {
        let mut io = self.io.lock();
        let _serial = self.serial.lock();
        if io.segment.filled <= io.segment.len {
            return Ok(());
        }
        self.unfill(&mut io.segment)?;
        io.segment.file.sync_data().map_err(|error| self.latch(error))
    }

    /// Writes an empty frame when the last one does not prove that what is before it is synced, and
    /// syncs it. For the end, and for quiet times.
    pub fn mark_synced(&self) -> Result<(), LogError> {
        {
            let mut io = self.io.lock();
            self.must_not_have_failed()?;
            let (written, synced) = self.raw_positions();
            let idle = io.frame.is_none() && written == synced && !io.segment.first;
            if !idle || io.segment.proven == synced {
                return Ok(());
            }
            self.build_frame(&mut io, written);
            self.write_frame(&mut io)?;
        }
        let _serial = self.serial.lock();
        self.must_not_have_failed()?;
        let file = Arc::clone(&self.current.lock().file);
        file.sync_data().map_err(|error| self.latch(error))
    }

    fn write_all(&self, io: &mut MutexGuard<'_, Io>) -> Result<(), LogError> {
        loop {
            self.must_not_have_failed()?;
            if io.frame.is_some() {
                self.write_frame(io)?;
            }
            match self.take(io) {
                Taken::Nothing => return Ok(()),
                Taken::Switch => self.switch(io)?,
                Taken::Records(end) => {
                    self.build_frame(io, end);
                    self.write_frame(io)?;
                    if self.pending.lock().cut.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes pending records into `io.buffer`, those before a cut first.
    fn take(&self, io: &mut Io) -> Taken {
        let mut pending = self.pending.lock();
        match pending.cut.take() {
            Some(cut @ Cut { at: 0, .. }) => {
                pending.cut = Some(cut);
                Taken::Switch
            }
            Some(Cut { at, position, segment }) => {
                let behind = pending.buffer.split_off(HEADROOM + at);
                std::mem::swap(&mut io.buffer, &mut pending.buffer);
                pending.buffer.truncate(HEADROOM);
                pending.buffer.extend_from_slice(&behind);
                pending.cut = Some(Cut { at: 0, position, segment });
                Taken::Records(position)
            }
            None if pending.len() == 0 => Taken::Nothing,
            None => {
                std::mem::swap(&mut io.buffer, &mut pending.buffer);
                pending.begin_frame();
                Taken::Records(pending.position)
            }
        }
    }

    /// Puts the line in front of the records in `io.buffer`, which end at position `end`.
    fn build_frame(&self, io: &mut Io, end: Position) {
        let payload = io.buffer.get(HEADROOM..).unwrap_or_default();
        let position = Position(end.0 - payload.len() as u64);
        let (_, synced) = self.raw_positions();
        let segment = &io.segment;
        let frame = Frame {
            previous_end: segment.first.then_some(position),
            position,
            unsynced: position.since(synced),
            millis: self.clock.wall(),
            len: payload.len() as u64,
            previous_crc: segment.crc,
        };
        let mut line = Vec::with_capacity(HEADROOM);
        let crc = encode_frame_line(&mut line, segment.salt, &frame, payload);
        let start = HEADROOM - line.len();
        if let Some(place) = io.buffer.get_mut(start..HEADROOM) {
            place.copy_from_slice(&line);
        }
        io.frame = Some(BuiltFrame { start, end, crc, proves: frame.proves_synced() });
    }

    /// Writes the built frame behind the last one, whole or not at all.
    fn write_frame(&self, io: &mut Io) -> Result<(), LogError> {
        let Io { segment, buffer, frame: built } = io;
        let Some(frame) = *built else { return Ok(()) };
        let frame_len = buffer.len().saturating_sub(frame.start);
        let payload_end = buffer.len();
        buffer.extend_from_slice(padding(segment.len + frame_len as u64, segment.filled));
        let bytes = buffer.get(frame.start..).unwrap_or_default();
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match segment.file.write_at(segment.len + done as u64, rest) {
                // write(2) returns 0 for no other reason than that it can take nothing now.
                Ok(0) => {
                    buffer.truncate(payload_end);
                    return Err(self.undo(segment, done, full()));
                }
                Ok(taken) => done += taken,
                Err(error) if error.is_full() => {
                    buffer.truncate(payload_end);
                    return Err(self.undo(segment, done, error));
                }
                Err(error) => return Err(self.latch(error)),
            }
        }
        segment.filled = if segment.filled > segment.len {
            segment.filled.max(segment.len + done as u64)
        } else {
            0
        };
        segment.len += frame_len as u64;
        segment.crc = frame.crc;
        segment.first = false;
        segment.proven = frame.proves;
        *built = None;
        if buffer.capacity() > BUFFER_KEPT_MAX {
            *buffer = vec![0; HEADROOM];
        }
        buffer.truncate(HEADROOM);
        self.note_room();
        self.publish_written(frame.end);
        self.fill(segment, frame_len)?;
        let mut stats = self.stats.lock();
        stats.written_bytes += frame_len as u64;
        stats.incr_bytes += frame_len as u64;
        stats.frames += 1;
        Ok(())
    }

    /// Cuts a partial frame off again after the disk was found full.
    fn undo(&self, segment: &mut Segment, done: usize, error: crate::disk::DiskError) -> LogError {
        if done > 0
            && let Err(error) = self.unfill(segment)
        {
            return error;
        }
        self.note_full(error)
    }

    /// Goes on to the segment behind the cut, after the old one is durable to its end.
    fn switch(&self, io: &mut Io) -> Result<(), LogError> {
        let _serial = self.serial.lock();
        self.must_not_have_failed()?;
        let written = self.current.lock().written;
        // When this fails the cut stands: a base at it can still be installed, and ends the failure.
        io.segment.file.sync_data().map_err(|error| self.latch(error))?;
        self.publish_synced(written, true);
        // Unless the cut was moved on meanwhile.
        if let Some(cut) = self.pending.lock().cut.take_if(|cut| cut.at == 0) {
            let next = cut.segment.behind(&io.segment, written);
            self.current.lock().file = Arc::clone(&next.file);
            io.segment = next;
            self.begun();
        }
        Ok(())
    }

    /// Written and synced positions, whether published or not.
    pub(super) fn raw_positions(&self) -> (Position, Position) {
        let current = self.current.lock();
        (current.written, current.synced)
    }

    fn publish_written(&self, position: Position) {
        let mut current = self.current.lock();
        current.written = position;
        if current.unsynced_since.is_none() && position > current.synced {
            current.unsynced_since = Some(self.clock.monotonic());
            self.unsynced_since.store(current.oldest_unsynced(), Ordering::Release);
        }
        if !current.gated {
            self.written.store(position.0, Ordering::Release);
        }
    }

    /// `all`: nothing was written since the sync began.
    fn publish_synced(&self, position: Position, all: bool) {
        let mut current = self.current.lock();
        current.synced = current.synced.max(position);
        current.syncing_since = None;
        if all {
            current.note_all_synced();
        }
        self.unsynced_since.store(current.oldest_unsynced(), Ordering::Release);
        if !current.gated {
            self.synced.store(current.synced.0, Ordering::Release);
        }
    }
}

fn full() -> crate::disk::DiskError {
    crate::disk::DiskError::new("write", "", std::io::ErrorKind::StorageFull.into())
}
