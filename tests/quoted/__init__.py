"""The numbers in the chapters' sentences, compared with what the chapter computes.

`read` finds the numbers, `compare` looks for the value that each one quotes, and test_quoted.py holds the book to it. A
number that no value of its chapter gives is listed in by_hand.json with the reason; the page of checks shows that list.
"""
