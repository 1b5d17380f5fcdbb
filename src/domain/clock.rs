//! The time. It comes from a [`Clock`] that is passed in, so that tests can control it.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::pg::data_types::PgTimestamp;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Timestamptz;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

/// How far the clocks of several servers of one database may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(600);
/// Microseconds from the Unix epoch to Postgres's own, 2000-01-01T00:00:00Z.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A moment with microsecond precision, as Postgres stores it. Displayed as RFC 3339 in UTC, to the second.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[diesel(sql_type = Timestamptz)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment this many seconds after the Unix epoch, clamped to the years that [`jiff`] supports.
    pub fn from_unix(seconds: i64) -> Self {
        Self(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Whole seconds after the Unix epoch.
    pub fn unix(self) -> i64 {
        self.0.as_second()
    }

    /// The moment this many microseconds after the Unix epoch; `None` for years that [`jiff`] or Postgres does not
    /// support.
    pub fn from_micros(micros: i64) -> Option<Self> {
        micros.checked_sub(POSTGRES_EPOCH_MICROS)?;
        jiff::Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Whole microseconds after the Unix epoch.
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The moment `span` later.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.checked_add(span).unwrap_or(jiff::Timestamp::MAX))
    }

    /// The moment `span` earlier.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.checked_sub(span).unwrap_or(jiff::Timestamp::MIN))
    }

    /// The day in UTC, such as `2026-11-26`.
    pub fn day(self) -> String {
        self.0.strftime("%Y-%m-%d").to_string()
    }

    /// The minute in UTC as web servers write it in an index of a directory: `26-Nov-2026 20:08`.
    pub fn in_index(self) -> String {
        self.0.strftime("%d-%b-%Y %H:%M").to_string()
    }

    /// The latest end, at this moment, of something that lasts `life` and has begun. A stored time that is later comes
    /// from a clock that was ahead, and must neither bar anyone nor live on. It allows for the difference between the
    /// clocks of several servers, and for requests that took their time before they got here.
    pub fn latest_end_of(self, life: Duration) -> Self {
        self.plus(life).plus(CLOCK_DIFFERENCE)
    }

    /// The duration since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        time.0.try_into().unwrap_or(Self::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
    }
}

impl utoipa::ToSchema for Timestamp {}

impl ToSql<Timestamptz, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let time = PgTimestamp(self.0.as_microsecond() - POSTGRES_EPOCH_MICROS);
        ToSql::<Timestamptz, Pg>::to_sql(&time, &mut out.reborrow())
    }
}

impl FromSql<Timestamptz, Pg> for Timestamp {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let PgTimestamp(micros) = FromSql::<Timestamptz, Pg>::from_sql(bytes)?;
        let micros = micros.checked_add(POSTGRES_EPOCH_MICROS).ok_or("timestamp out of range")?;
        Ok(Self(jiff::Timestamp::from_microsecond(micros)?))
    }
}

/// The source of the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    pub fn system() -> Self {
        Self(Arc::new(|| Timestamp(jiff::Timestamp::now())))
    }

    /// A clock that returns the function's result.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
