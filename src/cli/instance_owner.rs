//! Root acting as the owner of an instance.
//!
//! A service runs as a user of its own, but its administrator often runs a command as root. What the command creates
//! must be readable for the service: a restored instance, a new user's first instance, a folder of the sweep. So the
//! command becomes the service's user before it does anything. It keeps root's right to read every file, because a
//! backup or a file with settings may be readable only for root; it can't write where the service couldn't.

use anyhow::{Context, Result};
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, set_capabilities, set_keep_capabilities, set_thread_gid,
    set_thread_groups, set_thread_uid,
};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// If root runs this and another user owns the instance, becomes that user. The owner is whose `lock` file it is, and
/// for a new instance whose directory. A missing directory has no owner, so root stays root.
///
/// Must be called before the first thread is started, because threads inherit their user.
///
/// # Errors
/// When the system doesn't allow the change.
pub(super) fn become_owner(data_dir: &Path) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Ok(found) = fs::metadata(data_dir.join("lock")).or_else(|_| fs::metadata(data_dir)) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    if user.is_root() {
        return Ok(());
    }
    change(user, group)
        .with_context(|| format!("cannot act as the owner (user id {}) of {}", found.uid(), data_dir.display()))
}

fn change(user: Uid, group: Gid) -> rustix::io::Result<()> {
    let own = capabilities(None)?.permitted;
    // Docker's default set has only the second, which allows writing too.
    let reading = [CapabilitySet::DAC_READ_SEARCH, CapabilitySet::DAC_OVERRIDE];
    let kept = reading.into_iter().find(|one| own.contains(*one)).unwrap_or(CapabilitySet::empty());
    set_keep_capabilities(true)?;
    set_thread_groups(&[group])?;
    set_thread_gid(group)?;
    set_thread_uid(user)?;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
}
