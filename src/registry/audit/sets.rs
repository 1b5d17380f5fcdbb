//! Sets of events that administrators look for, whatever the events are called.

/// A set of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSet {
    /// Everything that removes something.
    Deletions,
    /// Everything that changes what somebody may do.
    Rights,
    /// Signing in and out, and changes to how somebody signs in.
    SignIns,
}

impl EventSet {
    pub const ALL: [Self; 3] = [Self::Deletions, Self::Rights, Self::SignIns];

    /// The set's word in addresses. No event is called so: their names have a dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deletions => "deletions",
            Self::Rights => "rights",
            Self::SignIns => "sign-ins",
        }
    }

    /// The set with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.as_str() == word)
    }

    /// Whether an event belongs to the set.
    pub fn has(self, event: &str) -> bool {
        let begins = |words: &[&str]| words.iter().any(|word| event.starts_with(word));
        match self {
            Self::Deletions => [".delete", ".purge", ".empty"].iter().any(|word| event.ends_with(word)),
            Self::Rights => {
                begins(&[
                    "grant.",
                    "org.member.",
                    "protection.",
                    "publisher.",
                    "robot.",
                    "team.",
                    "token.",
                    "user.invitation.",
                ]) || [
                    "org.create",
                    "org.update",
                    "package.visibility",
                    "user.approve",
                    "user.create",
                    "user.lock",
                    "user.register",
                    "user.unlock",
                    "user.update",
                ]
                .contains(&event)
            }
            Self::SignIns => begins(&[
                "session.",
                "user.email.",
                "user.identity.",
                "user.passkey.",
                "user.password",
                "user.two_factor.",
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_belong_to_the_sets_that_administrators_expect() {
        for (event, sets) in [
            ("file.delete", &["deletions"][..]),
            ("trash.purge", &["deletions"]),
            ("trash.restore", &[]),
            ("team.delete", &["deletions", "rights"]),
            ("team.member.add", &["rights"]),
            ("user.update", &["rights"]),
            ("session.begin", &["sign-ins"]),
            ("user.two_factor.remove", &["sign-ins"]),
            ("user.password.reset_request", &["sign-ins"]),
            ("user.email.confirm", &["sign-ins"]),
            ("user.invitation.accept", &["rights"]),
            ("user.identity.link", &["sign-ins"]),
            ("user.passkey.refuse", &["sign-ins"]),
            ("file.publish", &[]),
        ] {
            let found = EventSet::ALL.into_iter().filter(|set| set.has(event)).map(EventSet::as_str);
            assert_eq!(found.collect::<Vec<_>>(), sets, "{event}");
        }
        assert_eq!(EventSet::of("sign-ins"), Some(EventSet::SignIns));
    }
}
