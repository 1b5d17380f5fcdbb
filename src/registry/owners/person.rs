//! A user or an organization as everybody sees them who may see them.

use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use diesel::prelude::*;

/// The public fields of an owner.
#[derive(Debug, Clone, Queryable)]
pub struct Person {
    pub id: OwnerId,
    pub name: OwnerName,
    pub full_name: String,
    pub visibility: Visibility,
    pub created_at: Timestamp,
}

impl Person {
    /// The owner as somebody sees them who sees only some of their packages: nothing but the name.
    #[must_use]
    pub fn in_part(self) -> Self {
        Self { full_name: String::new(), created_at: Timestamp::from_unix(0), ..self }
    }

    /// Gitea's Ghost, who stands for every deleted user.
    pub fn ghost() -> Self {
        Self {
            id: OwnerId::GHOST,
            name: OwnerName::ghost(),
            full_name: String::new(),
            visibility: Visibility::Public,
            created_at: Timestamp::from_unix(0),
        }
    }
}
