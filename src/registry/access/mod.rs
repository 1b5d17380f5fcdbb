//! Access checks: the owners that a caller sees, and the caller's rights. A right is a value: only this module creates
//! it, and the functions that need it take it as an argument.

mod drafts;
mod owner_rights;
mod package_rights;
mod retention_rights;
mod visibility;
mod visible_packages;

pub use drafts::shown;
pub(in crate::registry) use drafts::{has_shown_version, has_shown_version_sql, shown_sql};
pub use owner_rights::{
    CanAdminister, CanAudit, CanChangeOwn, CanGovern, CanHook, CanInspect, CanOversee, CanSeeQuota, CanSetQuota,
    CanShare, HooksOf, can_administer, can_audit, can_change_own, can_govern, can_hook, can_inspect, can_oversee,
    can_see_quota, can_set_quota, can_share,
};
pub use package_rights::{
    CanAddFiles, CanPublish, CanRead, CanSearch, CanSeeTrash, CanUpload, can_add_files, can_publish, can_read,
    can_search, can_see_trash, can_upload, confirm_read, may_upload,
};
pub use retention_rights::{CanSeeRetention, CanSetRetention, can_see_retention, can_set_retention};
pub(in crate::registry) use visibility::absent;
pub use visibility::{
    Visited, has_readable_packages, readable, visit, visit_org, visit_packages, visit_user, within_token_limits,
};
pub use visible_packages::{OwnerPackages, PackageReadable, effective, listable, package_readable};
