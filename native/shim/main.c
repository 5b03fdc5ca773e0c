/* The entry point of gantry-shim. */
int main(void) {
    return 0;
}
