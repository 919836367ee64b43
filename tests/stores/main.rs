//! Each store does what a store promises.

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(all(
    feature = "dynamodb",
    feature = "nats",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
mod hopping;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "dynamodb", feature = "nats", feature = "postgres", feature = "redis"))]
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;
