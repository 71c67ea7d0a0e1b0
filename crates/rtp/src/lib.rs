//! RTP, RTCP, header extensions and codec descriptors: views and builders over byte slices.
