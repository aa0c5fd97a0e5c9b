"""The clients of the source documents, in their own language: sockets, send(text.encode()),
recv(1024).decode(), whole reads compared.

    python3 reference_clients.py PROTOCOL PORT

Prints `now shut down` when it waits for the end of the server; status 0 if all went well.
"""

import socket
import sys
import time

PORT = int(sys.argv[2])
HUMAN_PAUSE = 0.07


def connect():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(("127.0.0.1", PORT))
    return client


def send(client, text):
    client.send(text.encode())


def expect(client, text):
    heard = client.recv(1024).decode()
    assert heard == text, f"expected {text!r}, got {heard!r}"


def pause():
    time.sleep(HUMAN_PAUSE)


def now_shut_down():
    print("now shut down", flush=True)


def accounts():
    def new(what, name, password):
        client = connect()
        send(client, f"[NEW]:{what}:{name}:{name}_user:{password}:{client}")
        return client

    def say(client, name, text):
        send(client, f"[ACTIVE]:{name}:{name}_user:{name}_secret:{client}:{text}")

    probe = connect()
    send(probe, ":REMOVE:")
    expect(probe, "")
    for name in ("lior", "dana"):
        client = new("signup", name, name + "_secret")
        expect(client, "Account Created")
        expect(client, "")
    expect(new("signup", "dana", "dana_secret"), "")
    expect(new("login", "dana", "wrong_secret"), "False")
    lior = new("login", "lior", "lior_secret")
    expect(lior, "True")
    dana = new("login", "dana", "dana_secret")
    expect(dana, "True")
    expect(lior, "[dana - connected to the server!]")
    for number in range(3):
        pause()
        say(lior, "lior", f"hello {number}: ünïcode")
        expect(dana, f"hello {number}: ünïcode - (lior)")
        say(dana, "dana", f"yes {number}")
        expect(lior, f"yes {number} - (dana)")
    pause()
    say(dana, "dana", "exit()")
    expect(dana, "")
    expect(lior, "[dana - disconnected from the server!]")
    now_shut_down()
    expect(lior, "exit_server")
    expect(lior, "")


def nickname():
    def enter(nick):
        client = connect()
        expect(client, "NICK")
        send(client, nick)
        return client

    ana = enter("ana")
    expect(ana, "Welcome to this chatroom!\nana join the chat room")
    pause()
    bob = enter("bob: ")
    expect(bob, "Welcome to this chatroom!\nbob join the chat room")
    expect(ana, "bob join the chat room")
    for text in ("ana: hello", "ana: how are you?"):
        pause()
        send(ana, text)
        expect(ana, text)
        expect(bob, text)
    pause()
    bob.close()
    expect(ana, "bob Left chat room")
    now_shut_down()
    expect(ana, "exit_server")
    expect(ana, "")


def relay():
    clients = [connect() for _ in range(3)]
    for sender in clients:
        send(sender, "hello")
        for client in clients:
            if client is not sender:
                expect(client, "hello")
    now_shut_down()
    for client in clients:
        expect(client, "")


def uppercase():
    client = connect()
    send(client, "hello, straße")
    expect(client, "HELLO, STRASSE")
    expect(client, "")
    now_shut_down()


{"accounts": accounts, "nickname": nickname, "relay": relay, "uppercase": uppercase}[sys.argv[1]]()
