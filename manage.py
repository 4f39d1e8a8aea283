"""Django's command line; the console script `meshwork` is the same in an installed wheel."""

from meshwork.__main__ import main

if __name__ == "__main__":
    main()
