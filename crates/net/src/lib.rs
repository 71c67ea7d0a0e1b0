//! UDP sockets that receive and send in bursts (recvmmsg, GRO, sendmmsg, GSO).
