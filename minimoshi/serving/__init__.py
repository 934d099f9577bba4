"""The live server: a conversation in a browser, on the official wire.

* `protocol`: the messages of the official clients and servers, and what may stand in the address.
* `opus`: frames of sound to Ogg-Opus pages and back, as a stream.
* `engine`: one thread that moves all conversations, several in one step.
* `server`: HTTP and WebSocket around it, with its limits; `client`: the other end, for files and for load.
* `widget`: the same in a notebook, with the kernel as server.
"""
