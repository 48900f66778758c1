//! The domain of volume activation, pure: catalog, keys, messages, the count, cluster time
