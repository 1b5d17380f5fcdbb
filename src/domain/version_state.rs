//! The states of a version, and when each begins.

use super::clock::Timestamp;
use super::iso_duration::IsoDuration;
use super::role::word;
use diesel::Queryable;

word!(
    /// The state of a version. The order is used: a draft is less than a published version.
    VersionState, "draft, published, sealed" {
        /// Visible only to those who may publish to it.
        Draft = 0 "draft",
        Published = 1 "published",
        /// No file of it changes any more.
        Sealed = 2 "sealed",
    }
);

/// What decides the state of a version at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct Life {
    /// The state that is stored. It may still say `published` for a version that is due to be sealed.
    pub stored: VersionState,
    pub created_at: Timestamp,
    /// `None`: when it was created, unless it is a draft.
    pub published: Option<Timestamp>,
    pub sealed: Option<Timestamp>,
    /// The package's setting: how long after its publication a version is sealed.
    pub seal_after: Option<IsoDuration>,
}

impl Life {
    /// When it was published; `None` for a draft.
    pub fn published_at(&self) -> Option<Timestamp> {
        (self.stored != VersionState::Draft).then(|| self.published.unwrap_or(self.created_at))
    }

    /// Since when it is sealed; `None` if it is not sealed now. A version that is due counts as sealed, whether or not
    /// the job that writes this down has run.
    pub fn sealed_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.stored == VersionState::Sealed {
            return self.sealed;
        }
        let due = self.published_at()?.plus(self.seal_after?.into());
        (due <= now).then_some(due)
    }

    /// The state now.
    pub fn state(&self, now: Timestamp) -> VersionState {
        if self.sealed_at(now).is_some() { VersionState::Sealed } else { self.stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_sealed_from_the_moment_it_is_due() {
        let at = Timestamp::from_unix;
        let after = Some("PT1H".parse().unwrap());
        let life = |stored, published| Life { stored, created_at: at(0), published, sealed: None, seal_after: after };
        let version = life(VersionState::Published, Some(at(100)));
        assert_eq!(version.state(at(3699)), VersionState::Published);
        assert_eq!((version.state(at(3700)), version.sealed_at(at(9999))), (VersionState::Sealed, Some(at(3700))));
        assert_eq!(life(VersionState::Published, None).sealed_at(at(3600)), Some(at(3600)), "published when created");
        let draft = life(VersionState::Draft, None);
        assert_eq!((draft.state(at(9999)), draft.published_at()), (VersionState::Draft, None), "a draft never is");
        let sealed = Life { sealed: Some(at(7)), seal_after: None, ..life(VersionState::Sealed, None) };
        assert_eq!((sealed.state(at(0)), sealed.sealed_at(at(0))), (VersionState::Sealed, Some(at(7))));
    }
}
