//! The client against hosts of every kind: valid, refusing, silent, broken and hostile.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod distrust;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod life;
#[cfg(test)]
mod state;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod world;
