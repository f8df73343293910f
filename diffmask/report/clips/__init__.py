"""What would be masked in clips.

look        how a policy looks at them, and what it hides
source      clips with their scores, and a trained model that fills in
preview     what is shown: page, picture, terminal
film_strip  the pictures: frames side by side, under colours and masks
"""
